"""The plugins that are installed: found, described, remembered, and begun from a template."""
