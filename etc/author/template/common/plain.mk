# Without autoconf: make -f plain.mk [check] [install DESTDIR=…]
PKG_CONFIG ?= pkg-config
MORTISE := $(PKG_CONFIG) mortise-module
MODULEDIR ?= $(shell $(MORTISE) --variable=moduledir)
TOOL ?= $(shell $(MORTISE) --variable=tool)
MANDIR ?= $(shell $(MORTISE) --variable=mandir)
CFLAGS ?= -O2 -g -Wall -Wextra
SOURCES = @NAME@.c
HEADERS =

all: @NAME@.so mortise-@NAME@.5

@NAME@.so: $(SOURCES) $(HEADERS)
	$(CC) $(CPPFLAGS) $(shell $(MORTISE) --cflags) $(CFLAGS) -fPIC -fvisibility=hidden -shared \
		-Wl,-z,defs -Wl,-z,now $(LDFLAGS) -o $@ $(SOURCES) @LINK@

mortise-@NAME@.5: @NAME@.5.in @NAME@.so
	$(TOOL) describe --format=mdoc $(CURDIR)/@NAME@.so >options.mdoc
	sed -e '/^\.\\" OPTIONS$$/r options.mdoc' @NAME@.5.in >$@

check: @NAME@.so
	$(TOOL) check $(CURDIR)/@NAME@.so

install: all
	install -d $(DESTDIR)$(MODULEDIR) $(DESTDIR)$(MANDIR)/man5
	install -m 0755 @NAME@.so $(DESTDIR)$(MODULEDIR)/@NAME@.so
	install -m 0644 mortise-@NAME@.5 $(DESTDIR)$(MANDIR)/man5/mortise-@NAME@.5

clean:
	rm -f @NAME@.so mortise-@NAME@.5 options.mdoc

.PHONY: all check install clean
