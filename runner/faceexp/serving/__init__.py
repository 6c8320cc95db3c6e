"""A trained model at work: it is opened, asked about photos, and exported for others."""
