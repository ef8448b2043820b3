"""Expressions, `${{ … }}` around JMESPath: found in documents, checked at submission, resolved in the worker. Pure.

`text` finds them, `syntax` parses them, `names` lists what they refer to, `evaluation` computes them within limits,
and `resolution` puts their values into configurations.
"""
