"""The report as one HTML file: ``html`` fills the templates, ``figures`` makes its charts."""
