"""A trained model at work: opened, asked about photos, exported for others."""
