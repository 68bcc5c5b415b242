"""Measurements that are not tests: speed and accuracy, each written to reports/<what>.md."""
