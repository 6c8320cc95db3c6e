"""The experiment file: ``schema`` says what it means, ``toml`` reads it, ``parse`` checks it line by line."""
