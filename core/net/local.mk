# core/net: see the essays at the head of its headers.
noinst_LIBRARIES += core/net/libnet.a
core_net_libnet_a_SOURCES = \
	core/net/tls.h core/net/tls.c \
	core/net/listen.h core/net/listen.c core/net/address.c \
	core/net/channel.h core/net/channel.c
