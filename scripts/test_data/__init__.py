"""Downloads the published files that tests read: the parts of ``scripts/fetch_test_data``."""
