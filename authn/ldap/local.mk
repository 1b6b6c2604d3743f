# authn/ldap
EXTRA_DIST += authn/ldap/mortise-ldap.5.in
if HAVE_LDAP
module_LTLIBRARIES += authn/ldap/ldap.la
authn_ldap_ldap_la_SOURCES = authn/ldap/ldap.c authn/number.h
authn_ldap_ldap_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_ldap_ldap_la_CFLAGS = $(AM_CFLAGS) $(LDAP_CFLAGS)
authn_ldap_ldap_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_ldap_ldap_la_LIBADD = $(LDAP_LIBS)
MODULE_MANUALS += authn/ldap/mortise-ldap.5
endif
