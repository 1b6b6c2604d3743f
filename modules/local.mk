# modules
include modules/memory/local.mk
include modules/fail/local.mk
include modules/debug/local.mk
include modules/unix/local.mk
include modules/mbx/local.mk
include modules/maildir/local.mk
include modules/mh/local.mk

# The server opens NAME.so by its path and reads no .la file.
install-data-hook:
	for la in $(module_LTLIBRARIES); do rm -f "$(DESTDIR)$(moduledir)/$${la##*/}"; done
uninstall-hook:
	for la in $(module_LTLIBRARIES:.la=.so); do rm -f "$(DESTDIR)$(moduledir)/$${la##*/}"; done
