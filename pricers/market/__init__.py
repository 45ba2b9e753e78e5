"""What is quoted today: spot, curves, volatilities. It knows no model."""
