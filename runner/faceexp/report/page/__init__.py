"""The report as one HTML file: ``html`` fills the template, the modules named ``figures`` make its charts."""
