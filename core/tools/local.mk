# core/tools: see the essays at the head of its headers.

bin_PROGRAMS += core/tools/mortise-passwd
core_tools_mortise_passwd_SOURCES = core/tools/mortise-passwd.c
core_tools_mortise_passwd_LDADD = core/base/libbase.a $(OPENSSL_LIBS) $(CRYPT_LIBS)
dist_man_MANS += core/tools/mortise-passwd.1
TESTS += core/tools/test-passwd.sh
EXTRA_DIST += core/tools/test-passwd.sh

bin_PROGRAMS += mortise-module
mortise_module_SOURCES = core/tools/mortise-module.c core/tools/module_tool.h core/tools/module_new.c \
	core/tools/module_show.c core/tools/module_check.c
mortise_module_CPPFLAGS = $(AM_CPPFLAGS) -DMORTISE_TEMPLATEDIR='"$(templatedir)"'
mortise_module_LDFLAGS = $(AM_LDFLAGS) $(BUILTIN_LDFLAGS)
mortise_module_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) -ldl
EXTRA_mortise_module_DEPENDENCIES = $(BUILTIN_DEPS)

sbin_PROGRAMS += imapctl
imapctl_SOURCES = core/tools/imapctl.c core/tools/imapctl_auth.c core/tools/imapctl_auth.h
imapctl_LDFLAGS = $(AM_LDFLAGS) $(BUILTIN_LDFLAGS)
EXTRA_imapctl_DEPENDENCIES = $(BUILTIN_DEPS)
imapctl_LDADD = core/auth/libauth.a core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += core/tools/test-imapctl
TESTS += core/tools/test-imapctl
core_tools_test_imapctl_SOURCES = core/tools/test-imapctl.c
core_tools_test_imapctl_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_tools_test_imapctl_LDADD = core/store/libstore.a core/log/liblog.a core/base/libbase.a $(LMDB_LIBS) $(ACL_LIBS) $(CMOCKA_LIBS)
EXTRA_core_tools_test_imapctl_DEPENDENCIES = imapctl$(EXEEXT)
endif
