# The one binary, re-executed by role.
sbin_PROGRAMS += imapd
imapd_SOURCES = core/main.c
imapd_CPPFLAGS = $(AM_CPPFLAGS)
# Bound at once: what a session calls first is then not looked up again in each of them.
imapd_LDFLAGS = $(AM_LDFLAGS) $(BUILTIN_LDFLAGS) -Wl,-z,relro -Wl,-z,now
EXTRA_imapd_DEPENDENCIES = $(BUILTIN_DEPS)
imapd_LDADD = core/proc/libproc.a core/imap/libimap.a core/net/libnet.a core/auth/libauth.a core/search/libsearch.a \
	core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(CORE_SYS_LIBS)
# The sanitizers put themselves before crypt(3) and look for the real one when the program starts, before a module has
# brought it.
if SANITIZERS
imapd_LDFLAGS += -Wl,--no-as-needed
imapd_LDADD += $(CRYPT_LIBS)
endif
