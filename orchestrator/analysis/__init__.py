"""Estimators, intervals, forecasts, selection and costs: pure functions of counts."""
