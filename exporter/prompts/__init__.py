"""What stands between a request's strings and ids: a baked prefix, a translation model's languages."""
