# docs: prose that is not printed from tables, and the manuals that are.
dist_doc_DATA = README.md HACKING.md NEWS.md docs/admin.md docs/packaging.md docs/module-author.md docs/attack-cases.md docs/response-codes.md docs/bench.md
dist_man_MANS += docs/man/mortise-module.1

EXTRA_DIST += docs/man/imapd.8.in docs/man/imapctl.8.in
docs/man/imapd.8 docs/man/imapctl.8: %.8: %.8.in Makefile
	$(AM_V_GEN)$(MKDIR_P) docs/man && \
	sed -e 's|[@]confdir@|$(confdir)|g' -e 's|[@]moduledir@|$(moduledir)|g' $< >$@.new && mv $@.new $@
man_MANS += docs/man/imapd.8 docs/man/imapctl.8

# Printed by the programs that were built. Those of a cross build do not run here: --with-manuals names a build
# directory that has the pages.
if PRINT_MANUALS
docs/man/imapd.conf.5: imapd$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && ./imapd$(EXEEXT) --describe-config=mdoc >$@.new && mv $@.new $@
docs/man/mortise-messages.7: imapd$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && ./imapd$(EXEEXT) --describe-messages >$@.new && mv $@.new $@
else
docs/man/imapd.conf.5 docs/man/mortise-messages.7: Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(MANUALS_FROM)/$@ $@
endif
if HAVE_MANUALS
man_MANS += docs/man/imapd.conf.5 docs/man/mortise-messages.7
endif

# A module's page is its prose, mortise-NAME.5.in, with the list of options that its table prints in place of the
# line `.\" OPTIONS`. Without the list the prose says how to see them.
man_MANS += $(MODULE_MANUALS)
if PRINT_MANUALS
$(MODULE_MANUALS): %.5: %.5.in mortise-module$(EXEEXT) $(module_LTLIBRARIES)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && : >$@.conf && ./mortise-module$(EXEEXT) --config=$@.conf --no-owner-check \
		--format=mdoc describe $(@D)/.libs/$(notdir $(@D)).so >$@.options && \
	sed -e '/^\.\\" OPTIONS$$/r $@.options' $< >$@.new && rm $@.conf $@.options && mv $@.new $@
else
$(MODULE_MANUALS): %.5: %.5.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && if test -n "$(MANUALS_FROM)"; then cp $(MANUALS_FROM)/$@ $@; else \
	sed -e '/^\.\\" OPTIONS$$/c .Dl mortise-module describe $(notdir $(@D))' $< >$@; fi
endif

CLEANFILES += docs/man/imapd.8 docs/man/imapctl.8 docs/man/imapd.conf.5 docs/man/mortise-messages.7 $(MODULE_MANUALS)
