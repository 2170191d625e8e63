"""Networks: encoders made of stages, ways of sharing them between tasks, heads, and the model that joins them."""
