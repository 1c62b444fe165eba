"""Let ``python -m astroclean`` work."""

from astroclean.cli.main import main

raise SystemExit(main())
