"""Commands that are a chapter of their own, and the options that many share. The command line puts them together."""
