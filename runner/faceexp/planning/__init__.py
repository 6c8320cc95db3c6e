"""From an experiment to a plan: plugins checked against each other and against the data, before anything trains."""
