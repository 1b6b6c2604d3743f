# authn/imap
module_LTLIBRARIES += authn/imap/imap.la
authn_imap_imap_la_SOURCES = authn/imap/imap.c
authn_imap_imap_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_imap_imap_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
authn_imap_imap_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_imap_imap_la_LIBADD = $(OPENSSL_LIBS)
MODULE_MANUALS += authn/imap/mortise-imap.5
EXTRA_DIST += authn/imap/mortise-imap.5.in
