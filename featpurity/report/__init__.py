"""What a run leaves behind: tables, records, verdicts, figures, panels."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
