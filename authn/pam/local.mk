# authn/pam
if HAVE_PAM
module_LTLIBRARIES += authn/pam/pam.la
authn_pam_pam_la_SOURCES = authn/pam/pam.c
authn_pam_pam_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_pam_pam_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_pam_pam_la_LIBADD = $(PAM_LIBS)
endif
