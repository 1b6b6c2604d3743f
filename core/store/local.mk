# core/store: see the essays at the head of its headers.
noinst_LIBRARIES += core/store/libstore.a
core_store_libstore_a_SOURCES = \
	core/store/store.h core/store/store_int.h core/store/store.c \
	core/store/names.c core/store/place.c core/store/recognise.c \
	core/store/match.c core/store/list.c core/store/subscriptions.c \
	core/store/create.c core/store/delete.c core/store/rename.c \
	core/store/mailbox.h core/store/mailbox_int.h core/store/mailbox.c \
	core/store/driver.h core/store/driver.c \
	core/store/records.c core/store/keywords.c core/store/sync.c \
	core/store/change.c core/store/journal.c core/store/flags.c core/store/expunge.c \
	core/store/append.c core/store/copy.c core/store/status.c \
	core/store/view.c core/store/watch.c core/store/read.c \
	core/store/source_file.h core/store/source_file.c core/store/cache.c
