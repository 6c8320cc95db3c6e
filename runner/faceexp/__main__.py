"""``python -m faceexp`` is ``faceexp``."""

from faceexp.cli.main import main

if __name__ == "__main__":
    main()
