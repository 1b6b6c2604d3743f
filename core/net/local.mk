# core/net: see the essays at the head of its headers.
noinst_LIBRARIES += core/net/libnet.a
core_net_libnet_a_SOURCES = \
	core/net/stream.h core/net/stream.c core/net/deflate.h core/net/deflate.c \
	core/net/tls.h core/net/tls.c core/net/self_signed.h core/net/self_signed.c \
	core/net/listen.h core/net/listen.c core/net/address.c \
	core/net/channel.h core/net/channel.c

if HAVE_CMOCKA
check_PROGRAMS += core/net/test-stream
TESTS += core/net/test-stream
core_net_test_stream_LDADD = core/net/libnet.a core/base/libbase.a $(ZLIB_LIBS) $(CMOCKA_LIBS) -lpthread
endif
