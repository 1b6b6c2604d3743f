# etc/author: what authors of modules need besides the headers.
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = etc/author/mortise-module.pc
m4dir = $(datadir)/aclocal
dist_m4_DATA = etc/author/mortise.m4

templatedir = $(datadir)/mortise/template
template_commondir = $(templatedir)/common
dist_template_common_DATA = etc/author/template/common/README.md etc/author/template/common/configure.ac \
	etc/author/template/common/Makefile.am etc/author/template/common/plain.mk \
	etc/author/template/common/NAME.5.in
template_driverdir = $(templatedir)/driver
dist_template_driver_DATA = etc/author/template/driver/NAME.c
template_passworddir = $(templatedir)/password
dist_template_password_DATA = etc/author/template/password/NAME.c
template_sasldir = $(templatedir)/sasl
dist_template_sasl_DATA = etc/author/template/sasl/NAME.c
