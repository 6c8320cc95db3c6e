"""Which differences between losses are real: intervals, paired tests, letters, and what a study could have detected.

Nothing here knows about faces, files or plugins: numbers come in, numbers go out.
"""
