"""Settings of losses are searched for, on validation people and with equal budgets, before anything is compared."""
