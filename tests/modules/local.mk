# tests/modules: modules with one thing wrong each, and the loader that refuses them.
# Built with the compiler alone, as a stranger might; missing-library's library is taken away from its place.
TEST_MODULES = good several second twice bad-magic old-api new-api new-minor time32 bad-default missing-symbol \
	no-descriptor crash-load hang-load exit-load abort-load noisy hang-check crashy
TEST_MODULE_FILES = $(TEST_MODULES:%=tests/modules/%.so) tests/modules/missing-library.so
TEST_MODULE_BUILD = $(CC) $(MODULE_CPPFLAGS) $(CPPFLAGS) -std=gnu11 -Wall -Wno-override-init $(CFLAGS) $(SANITIZE_FLAGS) \
	-fPIC -shared

$(TEST_MODULES:%=tests/modules/%.so): tests/modules/%.so: tests/modules/%.c tests/modules/empty-driver.h $(sdk_HEADERS)
	$(AM_V_GEN)mkdir -p tests/modules && $(TEST_MODULE_BUILD) -o $@ $<
tests/modules/libgone.so: tests/modules/gone.c
	$(AM_V_GEN)mkdir -p tests/modules && $(TEST_MODULE_BUILD) -Wl,-soname,libmortise-gone.so.7 -o $@ $<
tests/modules/missing-library.so: tests/modules/missing-library.c tests/modules/libgone.so
	$(AM_V_GEN)$(TEST_MODULE_BUILD) -o $@ $< tests/modules/libgone.so

check_DATA += $(TEST_MODULE_FILES)
CLEANFILES += $(TEST_MODULE_FILES) tests/modules/libgone.so
EXTRA_DIST += $(TEST_MODULES:%=tests/modules/%.c) tests/modules/missing-library.c tests/modules/gone.c \
	tests/modules/empty-driver.h

# What core/module/test-builtin has inside: archives only, as --with-builtin-modules makes them.
check_LTLIBRARIES += tests/modules/inside.la tests/modules/inside-two.la
tests_modules_inside_la_SOURCES = tests/modules/inside.c
tests_modules_inside_la_CPPFLAGS = $(MODULE_CPPFLAGS)
tests_modules_inside_la_CFLAGS = $(AM_CFLAGS) -Wno-override-init
tests_modules_inside_la_LDFLAGS = -module -rpath /nowhere
tests_modules_inside_la_LIBTOOLFLAGS = --tag=disable-shared
tests_modules_inside_two_la_SOURCES = tests/modules/inside-two.c
tests_modules_inside_two_la_CPPFLAGS = $(MODULE_CPPFLAGS)
tests_modules_inside_two_la_CFLAGS = $(AM_CFLAGS) -Wno-override-init
tests_modules_inside_two_la_LDFLAGS = -module -rpath /nowhere
tests_modules_inside_two_la_LIBTOOLFLAGS = --tag=disable-shared

# What an author does, and a program that takes the driver template through a mailbox's life.
check_PROGRAMS += tests/modules/drive
tests_modules_drive_SOURCES = tests/modules/drive.c
tests_modules_drive_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) -ldl
TESTS += tests/modules/author.sh
EXTRA_DIST += tests/modules/author.sh
