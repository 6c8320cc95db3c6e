"""A run, from its plan to its folder: trials are trained, judged and written; also in parts, on several machines."""
