"""Whisper on CTranslate2: int8, greedy, and an encoder that sees the speech instead of 30 s.

``recognizer`` is the adapter, ``stream`` decides when the open utterance is decoded, ``decoder`` decodes it once.
"""
