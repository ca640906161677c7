"""Facts from texts (`infer=true`): a reactor that asks a language model, and leaves the decisions to the writer."""
