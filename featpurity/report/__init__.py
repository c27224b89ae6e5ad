"""What a run leaves behind: tables, records, verdicts, figures, panels."""
