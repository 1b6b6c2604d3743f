# authn
include authn/file/local.mk
include authn/pam/local.mk
include authn/cyrus/local.mk
