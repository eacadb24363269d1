"""What every job needs: its arguments, Spark session, report and expected errors."""
