"""The controller machinery: queue, store, informer, breaker, controller."""
