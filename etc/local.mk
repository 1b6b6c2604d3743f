# etc: what is installed beside the programs.
include etc/author/local.mk
EXTRA_DIST += etc/systemd/mortise.service.in etc/systemd/mortise-imap.socket etc/systemd/mortise-imaps.socket \
	etc/demo
# [@]: configure would put its own value for a name between two @ here, too.

etc/systemd/mortise.service: etc/systemd/mortise.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd && sed 's|[@]sbindir@|$(sbindir)|g' $(srcdir)/etc/systemd/mortise.service.in >$@.new && mv $@.new $@
CLEANFILES += etc/systemd/mortise.service

if HAVE_SYSTEMD
systemdunitdir = $(systemdsystemunitdir)
nodist_systemdunit_DATA = etc/systemd/mortise.service
dist_systemdunit_DATA = etc/systemd/mortise-imap.socket etc/systemd/mortise-imaps.socket
endif

confddir = $(confdir)/imapd.conf.d
dist_confd_DATA = etc/imapd.conf.d/README
pamexampledir = $(docdir)/examples/pam.d
dist_pamexample_DATA = etc/pam.d/imap
confexampledir = $(docdir)/examples
dist_confexample_DATA = etc/imapd.conf

# The administrator's own file is never touched; the example beside the documentation is always the newest.
install-data-local: install-conf
install-conf:
	$(MKDIR_P) '$(DESTDIR)$(confdir)'
	test -e '$(DESTDIR)$(confdir)/imapd.conf' || \
		$(INSTALL_DATA) '$(top_srcdir)/etc/imapd.conf' '$(DESTDIR)$(confdir)/imapd.conf'

# Removed only when it is still the file that was installed.
uninstall-local: uninstall-conf
uninstall-conf:
	if cmp -s '$(top_srcdir)/etc/imapd.conf' '$(DESTDIR)$(confdir)/imapd.conf'; then \
		rm -f '$(DESTDIR)$(confdir)/imapd.conf'; \
	fi
.PHONY: install-conf uninstall-conf
