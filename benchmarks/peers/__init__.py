"""The same Greeks by other means, each as a competent user of that library would write them."""
