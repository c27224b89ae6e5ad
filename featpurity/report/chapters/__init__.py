"""What each chapter shows: its answer, its tables and its figures with their captions."""
