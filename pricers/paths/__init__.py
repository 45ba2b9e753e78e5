"""The one interface of models, contracts and estimators: paths, what is asked of them, and the present value of what is paid along them."""
