# authn/krb5
EXTRA_DIST += authn/krb5/mortise-krb5.5.in
if HAVE_KRB5
module_LTLIBRARIES += authn/krb5/krb5.la
authn_krb5_krb5_la_SOURCES = authn/krb5/krb5.c
authn_krb5_krb5_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_krb5_krb5_la_CFLAGS = $(AM_CFLAGS) $(KRB5_CFLAGS)
authn_krb5_krb5_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_krb5_krb5_la_LIBADD = $(KRB5_LIBS)
MODULE_MANUALS += authn/krb5/mortise-krb5.5
endif
