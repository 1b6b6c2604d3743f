# etc: what is installed beside the programs.
EXTRA_DIST += etc/systemd/mortise.service.in etc/systemd/mortise-imap.socket etc/systemd/mortise-imaps.socket

etc/systemd/mortise.service: etc/systemd/mortise.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd && sed 's|@sbindir@|$(sbindir)|g' $(srcdir)/etc/systemd/mortise.service.in >$@.new && mv $@.new $@
CLEANFILES += etc/systemd/mortise.service

if HAVE_SYSTEMD
systemdunitdir = $(systemdsystemunitdir)
nodist_systemdunit_DATA = etc/systemd/mortise.service
dist_systemdunit_DATA = etc/systemd/mortise-imap.socket etc/systemd/mortise-imaps.socket
endif
