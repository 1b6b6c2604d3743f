# docs: prose that is not printed from tables.
dist_doc_DATA = README.md HACKING.md NEWS.md docs/admin.md docs/packaging.md docs/module-author.md
dist_man_MANS += docs/man/mortise-module.1
