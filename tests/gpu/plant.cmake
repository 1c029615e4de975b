# cmake -DFILE= -DOUT= -DFROM= -DTO= -P plant.cmake: a copy of a source file with one place changed. FROM has to occur
# exactly once: a bug that is planted nowhere would be found by nobody.
file(READ ${FILE} text)
string(FIND "${text}" "${FROM}" first)
string(FIND "${text}" "${FROM}" last REVERSE)
if(first EQUAL -1 OR NOT first EQUAL last)
  message(FATAL_ERROR "${FILE}: expected exactly one \"${FROM}\"")
endif()
string(REPLACE "${FROM}" "${TO}" text "${text}")
file(WRITE ${OUT} "${text}")
