# mortise.m4: for authors of modules.
#
# MORTISE_MODULE(NAME, KIND)
#   Looks for an installed Mortise with pkg-config, checks that it has the interface KIND (driver, password or
#   sasl), and sets for Makefile.am:
#     MORTISE_CFLAGS   where the headers are
#     MORTISE_LDFLAGS  how a module is linked: one symbol shown, none missing, all bound when it is loaded
#     MORTISE_TOOL     mortise-module
#     moduledir        where modules are installed; --with-moduledir changes it
AC_DEFUN([MORTISE_MODULE], [
  PKG_PROG_PKG_CONFIG
  PKG_CHECK_MODULES([MORTISE], [mortise-module])
  mortise_api=`$PKG_CONFIG --variable=$2_api mortise-module`
  AC_MSG_CHECKING([for the $2 interface of Mortise])
  AS_IF([test "x$mortise_api" = x], [AC_MSG_ERROR([this Mortise has none])])
  AC_MSG_RESULT([$mortise_api])
  AC_ARG_WITH([moduledir],
    [AS_HELP_STRING([--with-moduledir=DIR], [where the module is installed (as Mortise says)])],
    [moduledir=$withval], [moduledir=`$PKG_CONFIG --variable=moduledir mortise-module`])
  AC_SUBST([moduledir])
  AC_ARG_VAR([MORTISE_TOOL], [the mortise-module program])
  AS_IF([test "x$MORTISE_TOOL" = x], [MORTISE_TOOL=`$PKG_CONFIG --variable=tool mortise-module`])
  AC_SUBST([cross_compiling])
  AC_SUBST([MORTISE_LDFLAGS],
    ["-module -avoid-version -shared -export-symbols-regex _LTX_mortise_modules?\$\$ -Wl,-z,defs -Wl,-z,now"])
])
