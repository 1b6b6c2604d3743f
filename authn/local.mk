# authn
AUTHN_TEST_ROOMS = core/auth/libauth.a core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a
AUTHN_TEST_LIBS = $(AUTHN_TEST_ROOMS) $(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS) -ldl

include authn/file/local.mk
include authn/pam/local.mk
include authn/cyrus/local.mk
include authn/passwd/local.mk
include authn/cram-md5/local.mk
include authn/exec/local.mk
include authn/null/local.mk
include authn/ldap/local.mk
include authn/sql/local.mk
include authn/krb5/local.mk
include authn/imap/local.mk
