# core/mime: see the essays at the head of its headers.
noinst_LIBRARIES += core/mime/libmime.a
core_mime_libmime_a_SOURCES = \
	core/mime/mime.h core/mime/mime_int.h core/mime/source.h core/mime/source.c \
	core/mime/string.c core/mime/date.c core/mime/fields.c \
	core/mime/address.c core/mime/envelope.c core/mime/content.c \
	core/mime/parse.c core/mime/structure.c core/mime/section.c core/mime/decode.c
