"""XSTILTs: does multi-source intermediate-task training help zero-shot cross-lingual transfer?"""

__version__ = "0.1.0"
