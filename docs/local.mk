# docs: prose that is not printed from tables, and the manuals that are.
dist_doc_DATA = README.md HACKING.md NEWS.md docs/admin.md docs/packaging.md docs/module-author.md
dist_man_MANS += docs/man/mortise-module.1

EXTRA_DIST += docs/man/imapd.8.in
docs/man/imapd.8: docs/man/imapd.8.in Makefile
	$(AM_V_GEN)$(MKDIR_P) docs/man && \
	sed -e 's|[@]confdir@|$(confdir)|g' -e 's|[@]moduledir@|$(moduledir)|g' $(srcdir)/docs/man/imapd.8.in >$@.new && mv $@.new $@

docs/man/imapd.conf.5: imapd$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) docs/man && ./imapd$(EXEEXT) --describe-config=mdoc >$@.new && mv $@.new $@

docs/man/mortise-messages.7: imapd$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) docs/man && ./imapd$(EXEEXT) --describe-messages >$@.new && mv $@.new $@

man_MANS += docs/man/imapd.8 docs/man/imapd.conf.5 docs/man/mortise-messages.7
CLEANFILES += docs/man/imapd.8 docs/man/imapd.conf.5 docs/man/mortise-messages.7
